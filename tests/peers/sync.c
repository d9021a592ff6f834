/* Preloaded, it has every fsync of a program fail, as on a disk that is gone. */
#include <errno.h>

int fsync(int file) {
    (void)file;
    errno = EIO;
    return -1;
}
