#ifndef HEADEND_CPLATFORM_H
#define HEADEND_CPLATFORM_H
/// Names the calling thread for `top -H` and core files; the kernel keeps 15 bytes.
void headend_name_thread(const char *name);
/// How many files and sockets this process may have open (RLIMIT_NOFILE, soft).
unsigned long headend_open_files_max(void);
/// Raises the soft limit to the hard one; returns what it is then.
unsigned long headend_raise_open_files_max(void);
/// accept4(2), non-blocking and closed at exec; -1 with errno. Linux only.
int headend_accept(int listener);
/// Lets every other thread go first when the processors are busy (nice 10 for the calling thread alone, on Linux).
void headend_lower_thread_priority(void);
#endif
