// The agent's half of the line protocol; harness/appliance/agent.py is the other half.

#pragma once

enum { DATA_PORTS = 3 };

struct channels {
    int control;          // requests and answers, both ways
    int data[DATA_PORTS]; // what programs use: emptied before each run, drained after it
};

// Serves one client over `channels->control` until that reaches its end, with the files below
// `root`, which must exist. Returns 0, or -1 with errno when it could not even begin.
int serve(const struct channels *channels, const char *root);
