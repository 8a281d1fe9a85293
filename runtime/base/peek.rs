//! Reads memory of this process that may change or be gone at any moment: the kernel copies it.
//!
//! A dump looks at what others wait for, in their frames and at objects of theirs, and stops nobody. What
//! is there may be given back while it looks. A copy by the kernel neither faults nor races with anybody
//! by the rules of the language; the caller finds out afterwards whether what it has copied was valid, and
//! only then believes it.

#![expect(unsafe_code, reason = "copies from addresses by a system call")]

/// Copies what is at `address` into `to`; `false` if not all of it is mapped, or the kernel refuses.
pub(crate) fn bytes(address: usize, to: &mut [u8]) -> bool {
    let local = libc::iovec {
        iov_base: to.as_mut_ptr().cast(),
        iov_len: to.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: to.len(),
    };
    // SAFETY: it takes nothing.
    let own = unsafe { libc::getpid() };
    // SAFETY: one vector each; it writes into `to` alone, and checks the other address itself.
    let copied =
        unsafe { libc::process_vm_readv(own, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(copied) == Ok(to.len())
}

/// The words at `address`.
pub(crate) fn words<const N: usize>(address: usize) -> Option<[u64; N]> {
    let mut raw = [[0; 8]; N];
    bytes(address, raw.as_flattened_mut()).then(|| raw.map(u64::from_ne_bytes))
}

/// The half word at `address`.
pub(crate) fn half(address: usize) -> Option<u32> {
    let mut raw = [0; 4];
    bytes(address, &mut raw).then(|| u32::from_ne_bytes(raw))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{bytes, half, words};
    use std::ptr;

    #[test]
    fn what_is_there_is_copied() {
        let there = [1_u64, 2, u64::MAX];
        let address = ptr::from_ref(&there).addr();
        assert_eq!(words::<3>(address), Some(there));
        assert_eq!(words::<1>(address + 8), Some([2]));
        assert_eq!(half(address), Some(u32::from_ne_bytes([1, 0, 0, 0])));
    }

    #[test]
    fn what_is_not_there_is_none() {
        assert_eq!(words::<1>(8), None);
        assert_eq!(half(usize::MAX - 1), None);
        assert!(!bytes(16, &mut [0; 5]));
    }
}
