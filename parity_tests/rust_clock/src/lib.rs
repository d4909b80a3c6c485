//! Stops `CLOCK_MONOTONIC` of the process it is preloaded into.
//!
//! The published plugin reads `std::time::Instant` in a compiled extension that offers no way to
//! set the time. Preloaded (`LD_PRELOAD`), this library answers `clock_gettime` in libc's place,
//! and with it `Instant::now()` and Python's `time.monotonic()`. While the clock is stopped
//! ([`retry_clock_stop_at`]) every reading is the same nanosecond, so the age of a chain is exact.
//!
//! A sleep until a reading of the stopped clock ([`clock_nanosleep`], which Python's `time.sleep`
//! is) takes as long as that reading is ahead, so that it ends.
//!
//! It does not change any other clock, any other function that reads a clock, how long another wait
//! takes, or a process it is not preloaded into. 64-bit Linux only; elsewhere the library is empty.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::ffi::c_int;
use std::sync::atomic::{AtomicI64, Ordering};

use libc::{
    CLOCK_MONOTONIC, SYS_clock_gettime, SYS_clock_nanosleep, TIMER_ABSTIME, clockid_t, syscall,
    time_t, timespec,
};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Stands for "the clock runs". No reading is negative.
const RUNNING: i64 = -1;

/// The reading of the stopped clock in nanoseconds, or [`RUNNING`].
static STOPPED_AT_NS: AtomicI64 = AtomicI64::new(RUNNING);

/// Stops the clock at a reading. Called again while it is stopped, moves it.
///
/// Returns 0, or -1 and no change when `reading_ns` is negative.
#[unsafe(no_mangle)]
pub extern "C" fn retry_clock_stop_at(reading_ns: i64) -> c_int {
    if reading_ns < 0 {
        return -1;
    }
    STOPPED_AT_NS.store(reading_ns, Ordering::SeqCst);
    0
}

/// Lets the clock run again, from the reading it would have without this library.
#[unsafe(no_mangle)]
pub extern "C" fn retry_clock_run() {
    STOPPED_AT_NS.store(RUNNING, Ordering::SeqCst);
}

/// Reads a clock: the stopped reading for `CLOCK_MONOTONIC` while it is stopped, else the kernel's.
///
/// # Safety
///
/// As for libc's: `reading` is null or valid for a write of one `timespec`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, reading: *mut timespec) -> c_int {
    let stopped_at_ns = STOPPED_AT_NS.load(Ordering::SeqCst);
    if clock == CLOCK_MONOTONIC && stopped_at_ns != RUNNING && !reading.is_null() {
        let stopped = timespec {
            tv_sec: time_t::from(stopped_at_ns.div_euclid(NANOS_PER_SECOND)),
            tv_nsec: stopped_at_ns.rem_euclid(NANOS_PER_SECOND),
        };
        // SAFETY: not null, and the caller vouches for the rest.
        unsafe { reading.write(stopped) };
        return 0;
    }
    // The system call instead of the next `clock_gettime` in line: finding that one would need the
    // dynamic loader, which may read the clock itself.
    // SAFETY: the arguments are those of the call; the kernel checks the pointer and sets errno.
    let status = unsafe { syscall(SYS_clock_gettime, clock, reading) };
    c_int::try_from(status).unwrap_or(-1)
}

/// Sleeps: until a deadline of the stopped clock for as long as it is ahead, else as the kernel does.
///
/// # Safety
///
/// As for libc's: `request` is null or valid for a read of one `timespec`, `remaining` null or valid
/// for a write of one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    request: *const timespec,
    remaining: *mut timespec,
) -> c_int {
    let stopped_at_ns = STOPPED_AT_NS.load(Ordering::SeqCst);
    if clock == CLOCK_MONOTONIC
        && flags == TIMER_ABSTIME
        && stopped_at_ns != RUNNING
        && !request.is_null()
    {
        // SAFETY: not null, and the caller vouches for the rest.
        let deadline = unsafe { request.read() };
        let ahead_ns = deadline
            .tv_sec
            .saturating_mul(NANOS_PER_SECOND)
            .saturating_add(deadline.tv_nsec)
            .saturating_sub(stopped_at_ns)
            .max(0);
        let ahead = timespec {
            tv_sec: time_t::from(ahead_ns.div_euclid(NANOS_PER_SECOND)),
            tv_nsec: ahead_ns.rem_euclid(NANOS_PER_SECOND),
        };
        // SAFETY: both pointers are valid for the length of the call.
        return error_number(unsafe {
            syscall(
                SYS_clock_nanosleep,
                clock,
                0,
                &raw const ahead,
                std::ptr::null_mut::<timespec>(),
            )
        });
    }
    // SAFETY: the arguments are those of the call; the kernel checks the pointers.
    error_number(unsafe { syscall(SYS_clock_nanosleep, clock, flags, request, remaining) })
}

/// What `clock_nanosleep` returns: an error's number, where a system call leaves it in `errno`.
fn error_number(status: libc::c_long) -> c_int {
    if status == 0 {
        return 0;
    }
    std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}
