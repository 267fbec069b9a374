// The appliance's agent on this host: control line, data ports and root come as arguments.

#include <stdlib.h>

#include "serve.h"

int main(int count, char **words) {
    if (count != 6)
        return 2;
    struct channels channels = {.control = atoi(words[1])};
    for (int i = 0; i < DATA_PORTS; i++)
        channels.data[i] = atoi(words[2 + i]);
    return serve(&channels, words[5]) ? 1 : 0;
}
