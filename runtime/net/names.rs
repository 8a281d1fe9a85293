//! Finds the text in what stands for addresses, so that a simulation need not ask the system.
//!
//! `ToSocketAddrs` gives out addresses, and looks names up by itself to do so. What the name was can only
//! be told by those who know its type; std implements the trait for four types with a name in them, and for references. Types
//! are told apart by their `TypeId`, which those with a lifetime have too once it is forgotten.

#![expect(unsafe_code, reason = "a type is known by its number")]

use std::{any::TypeId, marker::PhantomData, mem::transmute, ptr};

/// What a name was given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// An address, or a host and a port.
    Text(&'a str),
    Host(&'a str, u16),
}

/// The number of a type, whatever its lifetimes are.
fn type_of<T>() -> TypeId {
    trait Typed {
        fn number(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T> Typed for PhantomData<T> {
        fn number(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let phantom = PhantomData::<T>;
    let typed: &dyn Typed = &phantom;
    // SAFETY: lifetimes do not exist when a program runs, so the method is the same for all of them; it
    // looks at no value and keeps no reference.
    let typed = unsafe { transmute::<&dyn Typed, &(dyn Typed + 'static)>(typed) };
    typed.number()
}

/// `value`, if an `A` is a `B` but for its lifetimes.
///
/// # Safety
///
/// A `B` read through the result is valid for no longer than the borrow of `value`.
unsafe fn same<A, B: 'static>(value: &A) -> Option<&B> {
    let is_same = type_of::<A>() == TypeId::of::<B>();
    // SAFETY: the types are the same but for lifetimes, and so is what lies there.
    is_same.then(|| unsafe { &*ptr::from_ref(value).cast::<B>() })
}

/// The name in `names`, if it is of one of std's types that have one, or a reference to one.
pub(super) fn text<A>(names: &A) -> Option<Name<'_>> {
    /// Tries one type after another, of those that hold a name.
    macro_rules! first {
        ($($type:ty, $held:pat => $name:expr;)*) => {
            $(
                // SAFETY: a text that is borrowed lives at least as long as the reference to it, and so
                // does what is borrowed to find it; the result is shortened to the borrow of `names`.
                if let Some($held) = unsafe { same::<A, $type>(names) } {
                    return Some($name);
                }
            )*
        };
    }
    first! {
        &'static str, text => Name::Text(text);
        String, text => Name::Text(text);
        (&'static str, u16), (host, port) => Name::Host(host, *port);
        (String, u16), (host, port) => Name::Host(host, *port);
        &'static &'static str, text => Name::Text(text);
        &'static String, text => Name::Text(text);
        &'static (&'static str, u16), (host, port) => Name::Host(host, *port);
        &'static (String, u16), (host, port) => Name::Host(host, *port);
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Name, text};
    use std::net::{Ipv4Addr, SocketAddr};

    #[test]
    fn names_are_found_in_std_s_types_and_in_no_others() {
        let owned = String::from("a:1");
        let borrowed: &str = &owned;
        assert_eq!(text(&borrowed), Some(Name::Text("a:1")));
        assert_eq!(text(&owned), Some(Name::Text("a:1")));
        assert_eq!(text(&(borrowed, 2_u16)), Some(Name::Host("a:1", 2)));
        assert_eq!(text(&(owned.clone(), 2_u16)), Some(Name::Host("a:1", 2)));
        assert_eq!(text(&SocketAddr::from((Ipv4Addr::LOCALHOST, 1))), None);
        assert_eq!(text(&(Ipv4Addr::LOCALHOST, 1_u16)), None);
        assert_eq!(text(&(borrowed, 2_u32)), None);
        assert_eq!(text(&&borrowed), Some(Name::Text("a:1")));
        assert_eq!(text(&&owned), Some(Name::Text("a:1")));
        assert_eq!(text(&&(borrowed, 2_u16)), Some(Name::Host("a:1", 2)));
        assert_eq!(text(&&(owned.clone(), 2_u16)), Some(Name::Host("a:1", 2)));
        assert_eq!(text(&&&borrowed), None);
    }
}
