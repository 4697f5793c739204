#define _GNU_SOURCE
#include "CSandbox.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { first_closed = 3 };

static int crash_descriptor = -1;
/// A process with less address space left than this is out of memory.
static uint64_t crash_probe = 1 << 28;

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

// MARK: - System calls

#ifdef MACHINE

// The low half of an argument, which the processors named here store first. For the arguments that
// are checked, the kernel ignores the high half.
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
#define REFUSED ANSWER(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), ANSWER(SECCOMP_RET_ALLOW)
/// Kills the process: no library makes this call, but an exploit would.
#define KILL(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), ANSWER(SECCOMP_RET_KILL_PROCESS)
/// Memory that cannot be executed: the third argument is the protection.
#define ALLOW_DATA(name)                                     \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4),     \
      LOAD(args[2]),                                         \
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0), \
      ANSWER(SECCOMP_RET_ALLOW), REFUSED
/// Only if the first argument, a descriptor or a process, is this number.
#define ALLOW_ON(name, number)                             \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 4),   \
      LOAD(args[0]),                                       \
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
      ANSWER(SECCOMP_RET_ALLOW), REFUSED
/// The process's own limit of processor time.
#define ALLOW_OWN_TIME                                         \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 6),    \
      LOAD(args[0]),                                           \
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),            \
      LOAD(args[1]),                                           \
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CPU, 0, 1),   \
      ANSWER(SECCOMP_RET_ALLOW), REFUSED

/// For all threads from now on; calls that are not listed fail with EPERM.
static bool filter_calls(void) {
  struct sock_filter code[] = {
      LOAD(arch),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
      ANSWER(SECCOMP_RET_KILL_PROCESS),
      LOAD(nr),
      ALLOW_ON(read, 0),
      ALLOW_ON(write, 0),
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
      // The C library's abort() signals its own process.
      ALLOW_ON(tgkill, (uint32_t)getpid()),
      ALLOW_OWN_TIME,
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
      // A sanitizer calls it in every longjmp. Other builds do not need it.
      ALLOW(sigaltstack),
#endif
      KILL(execve),
      KILL(execveat),
      KILL(ptrace),
      KILL(process_vm_readv),
      KILL(process_vm_writev),
      KILL(bpf),
      KILL(io_uring_setup),
      KILL(userfaultfd),
      KILL(perf_event_open),
      KILL(unshare),
      KILL(setns),
      KILL(mount),
      REFUSED,
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  long result = syscall(
      SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  // A positive number is a thread that could not be synchronised.
  if (result > 0) errno = ESRCH;
  return result == 0;
}

#else

static bool filter_calls(void) {
  errno = ENOSYS;
  return false;
}

#endif

/// Tries calls that would do no harm if they went through: whether the filter refuses them.
static bool is_filtered(void) {
  int file = open("/", O_RDONLY | O_CLOEXEC);
  if (file >= 0) close(file);
  if (file >= 0 || errno != EPERM) return false;
  int end = socket(AF_UNIX, SOCK_STREAM, 0);
  if (end >= 0) close(end);
  if (end >= 0 || errno != EPERM) return false;
#ifdef SYS_clone3
  if (syscall(SYS_clone3, NULL, 0) != -1 || errno != EPERM) return false;
#endif
  if (kill(getpid(), 0) != -1 || errno != EPERM) return false;
  void *code = mmap(
      NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code != MAP_FAILED) munmap(code, 4096);
  return code == MAP_FAILED && errno == EPERM;
}

// MARK: - Limits

static bool limit(int resource, uint64_t most) {
  struct rlimit now, wanted = {most, most};
  if (getrlimit(resource, &now) != 0) return false;
  if (wanted.rlim_max > now.rlim_max) wanted.rlim_max = wanted.rlim_cur = now.rlim_max;
  if (setrlimit(resource, &wanted) != 0 || getrlimit(resource, &now) != 0) return false;
  if (now.rlim_cur <= most && now.rlim_max <= most) return true;
  errno = EPERM;
  return false;
}

bool lunerv_allow_seconds(uint64_t seconds, bool more) {
  struct rlimit allowed;
  if (getrlimit(RLIMIT_CPU, &allowed) != 0) return false;
  uint64_t from = allowed.rlim_cur;
  if (!more || from == RLIM_INFINITY) {
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return false;
    from = (uint64_t)used.tv_sec + 1;
  }
  allowed.rlim_cur = seconds < RLIM_INFINITY - 1 - from ? from + seconds : RLIM_INFINITY - 1;
  if (allowed.rlim_cur > allowed.rlim_max) allowed.rlim_cur = allowed.rlim_max;
  return setrlimit(RLIMIT_CPU, &allowed) == 0;
}

static uint64_t address_space(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return 0;
  if (fscanf(file, "%lu", &pages) != 1) pages = 0;
  fclose(file);
  return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// MARK: - Descriptors

/// Closes the open descriptors that /proc lists, or only looks for some; false if any are left, or
/// if that is unknown.
static bool visit_descriptors(bool closing) {
  DIR *folder = opendir("/proc/self/fd");
  if (!folder) return false;
  bool none_left = true;
  for (struct dirent *entry; (entry = readdir(folder));) {
    char *end;
    long found = strtol(entry->d_name, &end, 10);
    if (*end || end == entry->d_name || found < first_closed || found == dirfd(folder)) continue;
    if (!closing || close((int)found) != 0) none_left = false;
  }
  closedir(folder);
  return none_left;
}

static bool close_descriptors(void) {
  bool closed = syscall(SYS_close_range, first_closed, ~0U, 0) == 0;
  // An older kernel, or a container that refuses the call.
  if (!closed) visit_descriptors(true);
  if (access("/proc/self/fd", F_OK) != 0) return closed;
  if (visit_descriptors(false)) return true;
  errno = EBADF;
  return false;
}

// MARK: - Everything

const char *lunerv_confine(uint64_t growth, bool strict) {
  if (!close_descriptors() && strict) return "closing descriptors";
  uint64_t space = address_space();
  if (space == 0) return "finding out its size";
  if (!limit(RLIMIT_AS, space + growth)) return "limiting its memory";
  crash_probe = ((space + growth) / 8) & ~(uint64_t)0xffff;
  if (!limit(RLIMIT_FSIZE, 0)) return "limiting files";
  if (!limit(RLIMIT_NPROC, 0)) return "limiting processes";
  if (!limit(RLIMIT_CORE, 0)) return "limiting core dumps";
  if (!limit(RLIMIT_NOFILE, 0)) return "limiting descriptors";
  bool ends = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
  if (!ends && strict) return "ending with its parent";
  bool hides = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
  if (!hides && strict) return "hiding its memory";
  bool stays = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
               prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  if (!stays && strict) return "renouncing new privileges";
  bool filtered = filter_calls();
  if (!strict) return NULL;
  if (!filtered) return "filtering system calls";
  errno = 0;
  return is_filtered() ? NULL : "filtering system calls (they went through)";
}

// MARK: - Crashes

static void crashed(int signal) {
  uint64_t code = (uint64_t)signal;
  void *probe = mmap(NULL, crash_probe, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED)
    code |= 256;
  else
    munmap(probe, crash_probe);
  unsigned char message[9] = {3};
  for (int i = 0; i < 8; i++) message[1 + i] = (unsigned char)(code >> (8 * i));
  // One message or none: its reader learns the signal in any case.
  if (write(crash_descriptor, message, sizeof message) < 0) message[0] = 0;
  raise(signal);
}

void lunerv_report_crashes(int descriptor) {
  static char stack[1 << 16];
  crash_descriptor = descriptor;
  stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&other, NULL);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = crashed;
  // The second time, the signal has its default effect.
  action.sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
  for (unsigned i = 0; i < sizeof fatal / sizeof *fatal; i++) sigaction(fatal[i], &action, NULL);
}

const char *lunerv_image_path(void) {
  Dl_info info;
  return dladdr((const void *)lunerv_image_path, &info) ? info.dli_fname : NULL;
}
