//! Calls of the plugin that come out of a call of the plugin.
//!
//! Reading a payload, showing an exception and logging a line run Python code that may call the
//! plugin again. What it reads then may do the same, so that answering all of it takes without end,
//! or grows with a power of the payload's size. A call on its own is answered always, and so are
//! the first few that come out of it.

use std::cell::Cell;

/// Calls that are answered of all those that come out of one call, however deep they stand in each
/// other. So one call of the hook reads at most so many payloads besides its own.
const MAX_INNER: u32 = 16;

#[derive(Clone, Copy)]
struct Calls {
    /// In progress on this thread, each within the one before.
    open: u32,
    /// Come out of the outermost one so far.
    inner: u32,
}

thread_local! {
    /// INVARIANT: no hook waits for anything, so that what is open on a thread stands on its stack,
    /// and no task can see the call of another one. The exception would be a payload that itself
    /// switches greenlets, or runs another event loop, while it is read.
    static CALLS: Cell<Calls> = const { Cell::new(Calls { open: 0, inner: 0 }) };
}

/// One call in progress on this thread, and all that is dropped before it.
pub(crate) struct Nesting;

impl Nesting {
    /// Begins a call; `None` where it comes out of one that has had enough of them.
    pub(crate) fn enter() -> Option<Self> {
        let Calls { open, inner } = CALLS.get();
        let inner = if open == 0 {
            0
        } else {
            inner.saturating_add(1)
        };
        if inner > MAX_INNER {
            return None;
        }
        CALLS.set(Calls {
            open: open.saturating_add(1),
            inner,
        });
        Some(Self)
    }
}

impl Drop for Nesting {
    fn drop(&mut self) {
        let calls = CALLS.get();
        CALLS.set(Calls {
            open: calls.open.saturating_sub(1),
            ..calls
        });
    }
}

/// Has a process that was forked off in the middle of a call begin with none: it may never come
/// back to it.
pub(crate) fn begin_anew() {
    CALLS.set(Calls { open: 0, inner: 0 });
}
