/* Preloaded, it shifts the clocks of a program while it runs: by the seconds that the two numbers of 64 bits in the
 * file SMAP_TEST_CLOCK say, the first for the time of day, the second for the time that only goes ahead. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

/* The programs forget their environment, and their root folder, later. */
__attribute__((constructor)) static void find(void) {
    const char *path = getenv("SMAP_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        shift = mapped;
    if (file >= 0)
        close(file);
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, id, time);
    if (result == 0 && shift)
        time->tv_sec += id == CLOCK_REALTIME ? shift[0] : id == CLOCK_MONOTONIC ? shift[1] : 0;
    return result;
}
