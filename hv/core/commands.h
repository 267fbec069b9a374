/* What the harness may ask of a running hypervisor: one word a line on COM2, answered by a record. */
#pragma once

/*
 * Takes in what has come, and carries out a command that is complete. Cheap where nothing has come:
 * one port read. Call it where no record is being built; the scheduler does, at the end of a slice.
 */
void commands_poll(void);
