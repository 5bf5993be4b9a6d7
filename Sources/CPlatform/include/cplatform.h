#ifndef HEADEND_CPLATFORM_H
#define HEADEND_CPLATFORM_H
/// Names the calling thread for `top -H` and core files; the kernel keeps 15 bytes.
void headend_name_thread(const char *name);
#endif
