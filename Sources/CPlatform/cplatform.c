// What glibc hides from Swift behind _GNU_SOURCE.
#define _GNU_SOURCE
#include "cplatform.h"
#include <pthread.h>

void headend_name_thread(const char *name) {
#if defined(__APPLE__)
    pthread_setname_np(name);
#else
    pthread_setname_np(pthread_self(), name);
#endif
}
