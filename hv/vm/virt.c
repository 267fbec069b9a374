#include "vm/virt.h"

const struct virt *virt;

void virt_choose(void) {
    static const struct virt *const known[] = {&vmx, &svm};
    for (unsigned i = 0; !virt && i < sizeof known / sizeof known[0]; i++) {
        virt = known[i]->present() ? known[i] : 0;
    }
}
