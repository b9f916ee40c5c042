//! A lock that is held for some microseconds.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Waits for a lock whose holders have next to nothing to do: whoever answers a batch of messages, or encodes the answers. To sleep
/// and to be woken takes some tens of microseconds, so it is tried for as long as that batch may take before it is slept for.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    const TRIES: usize = 12;
    const BETWEEN: usize = 32;
    for _ in 0..TRIES {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => (0..BETWEEN).for_each(|_| std::hint::spin_loop()),
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
