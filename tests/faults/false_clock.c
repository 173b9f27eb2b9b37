/* For LD_PRELOAD: the wall clock is wrong by FALSE_CLOCK_S seconds; the monotonic one is true.

   Who waits until a time of the wall clock means the false one; the kernel knows the true one. So
   such a deadline is put right. What clock a condition goes by is not known here, but a monotonic
   time is the age of the machine, and less than 30 years. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

typedef const struct timespec *restrict deadline;

static int (*true_gettime)(clockid_t, struct timespec *);
static int (*true_cond_wait)(pthread_cond_t *, pthread_mutex_t *, deadline);
static int (*true_sem_wait)(sem_t *, deadline);
static int (*true_cnd_wait)(cnd_t *, mtx_t *, deadline);
static long offset_s;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("FALSE_CLOCK_S");
    offset_s = text ? atol(text) : 0;
    *(void **)&true_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    *(void **)&true_sem_wait = dlsym(RTLD_NEXT, "sem_timedwait");
    *(void **)&true_cnd_wait = dlsym(RTLD_NEXT, "cnd_timedwait");
    /* of two versions, dlsym may find the one of twenty years ago */
    void *wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    *(void **)&true_cond_wait = wait ? wait : dlsym(RTLD_NEXT, "pthread_cond_timedwait");
}

static struct timespec put_right(deadline until)
{
    struct timespec right = *until;
    if (right.tv_sec > 1000000000)
        right.tv_sec -= offset_s;
    return right;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (!true_gettime) /* somebody asks before us */
        begin();
    int failed = true_gettime(id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *into)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (into)
        *into = exact.tv_sec;
    return exact.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           deadline until)
{
    if (!true_cond_wait)
        begin();
    struct timespec right = put_right(until);
    return true_cond_wait(condition, mutex, &right);
}

int sem_timedwait(sem_t *restrict semaphore, deadline until)
{
    if (!true_sem_wait)
        begin();
    struct timespec right = put_right(until);
    return true_sem_wait(semaphore, &right);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, deadline until)
{
    if (!true_cnd_wait)
        begin();
    struct timespec right = put_right(until);
    return true_cnd_wait(condition, mutex, &right);
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}
