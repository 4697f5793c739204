#define _GNU_SOURCE
#include "CSandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#ifdef MACHINE

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
#define ALLOW(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), ANSWER(SECCOMP_RET_ALLOW)
/// Memory, but none that can be executed: the third argument is the protection.
#define ALLOW_DATA(name)                                     \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4),     \
      LOAD(args[2]),                                         \
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0), \
      ANSWER(SECCOMP_RET_ALLOW), ANSWER(SECCOMP_RET_ERRNO | EPERM)

/// All threads from now on; what is not listed fails with EPERM.
static void filter_calls(void) {
  struct sock_filter code[] = {
      LOAD(arch),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
      ANSWER(SECCOMP_RET_KILL_PROCESS),
      LOAD(nr),
      ALLOW(read),
      ALLOW(write),
      ALLOW(futex),
      ALLOW(sched_yield),
      ALLOW_DATA(mmap),
      ALLOW_DATA(mprotect),
      ALLOW(munmap),
      ALLOW(mremap),
      ALLOW(madvise),
      ALLOW(brk),
      ALLOW(clock_gettime),
      ALLOW(getrandom),
      ALLOW(getpid),
      ALLOW(gettid),
      ALLOW(rt_sigprocmask),
      ALLOW(rt_sigreturn),
      ALLOW(set_robust_list),
      ALLOW(restart_syscall),
      ALLOW(exit),
      ALLOW(exit_group),
      ANSWER(SECCOMP_RET_ERRNO | EPERM),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  // A kernel without filters leaves the limits.
  syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

#else
static void filter_calls(void) {}
#endif

static bool limit(int resource, uint64_t soft, uint64_t hard) {
  struct rlimit now, wanted = {soft, hard};
  if (getrlimit(resource, &now) != 0) return false;
  if (wanted.rlim_max > now.rlim_max) wanted.rlim_max = now.rlim_max;
  if (wanted.rlim_cur > wanted.rlim_max) wanted.rlim_cur = wanted.rlim_max;
  return setrlimit(resource, &wanted) == 0;
}

bool lunerv_confine(uint64_t processor_seconds, uint64_t address_space) {
  bool held = limit(RLIMIT_CPU, processor_seconds, processor_seconds + 1);
  held = limit(RLIMIT_AS, address_space, address_space) && held;
  held = limit(RLIMIT_FSIZE, 0, 0) && held;
  held = limit(RLIMIT_NPROC, 0, 0) && held;
  held = limit(RLIMIT_CORE, 0, 0) && held;
  held = limit(RLIMIT_NOFILE, 0, 0) && held;
  held = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && held;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  filter_calls();
  return held;
}

void lunerv_close_from(int first) { syscall(SYS_close_range, first, ~0U, 0); }

const char *lunerv_image_path(void) {
  Dl_info info;
  return dladdr((const void *)lunerv_image_path, &info) ? info.dli_fname : NULL;
}
