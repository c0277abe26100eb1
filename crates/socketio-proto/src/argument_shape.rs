//! The rule that decides whether a Rust value is the whole list of arguments or one argument.

use std::any::type_name;

/// The role of a type in `emit(event, value)` and `Data<T>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArgumentShape {
    /// `()`: no arguments.
    Empty,
    /// A tuple: the list of arguments.
    Tuple,
    /// Anything else, arrays and structs too: one argument.
    Single,
}

/// The beginning of the type name of [`Arguments`](crate::Arguments).
const ARGUMENTS_TYPE_NAME: &str = concat!(env!("CARGO_CRATE_NAME"), "::arguments::Arguments");

/// The beginning of the type name of [`Reply`](crate::Reply).
const REPLY_TYPE_NAME: &str = concat!(env!("CARGO_CRATE_NAME"), "::reply::Reply<");

/// Returns the role of a type, which depends on how the type is written. A tuple is the list of arguments, and `()` is
/// the empty list. A reference has the role of its target, and a reply that of its value. Any other type is one argument.
///
/// serde treats `(A, B)` and `[A; 2]` in the same way, and stable Rust has no specialization for tuples. But only the
/// name of a tuple type begins with `(`. With optimizations, the compiler evaluates this call at compile time.
pub(crate) fn argument_shape<T: ?Sized>() -> ArgumentShape {
    let mut name = type_name::<T>();
    loop {
        if let Some(target) = name.strip_prefix('&') {
            name = target.strip_prefix("mut ").unwrap_or(target);
        } else if let Some(value) = name.strip_prefix(REPLY_TYPE_NAME) {
            name = value.strip_suffix('>').unwrap_or(value);
        } else {
            break;
        }
    }
    match name.as_bytes() {
        b"()" => ArgumentShape::Empty,
        [b'(', ..] => ArgumentShape::Tuple,
        // A program forwards `Arguments` as a whole list.
        _ if name.starts_with(ARGUMENTS_TYPE_NAME) => ArgumentShape::Tuple,
        _ => ArgumentShape::Single,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;

    struct Unit;
    #[expect(dead_code, reason = "only the type is used")]
    struct Pair(u8, u8);

    #[test]
    fn a_tuple_is_the_list_of_arguments() {
        assert_eq!(argument_shape::<(u8,)>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<(String, Vec<(u8, u8)>)>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<((), ())>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<&(u8, u8)>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<&mut (u8, u8)>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<&&mut &(u8, u8)>(), ArgumentShape::Tuple);
    }

    #[test]
    fn the_unit_is_no_arguments() {
        assert_eq!(argument_shape::<()>(), ArgumentShape::Empty);
        assert_eq!(argument_shape::<&()>(), ArgumentShape::Empty);
        assert_eq!(argument_shape::<&mut ()>(), ArgumentShape::Empty);
    }

    #[test]
    fn a_reply_is_what_is_in_it() {
        assert_eq!(argument_shape::<Reply<(u8, u8)>>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<Reply<&(u8, u8)>>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<&Reply<&mut (u8, u8)>>(), ArgumentShape::Tuple);
        assert_eq!(argument_shape::<Reply<()>>(), ArgumentShape::Empty);
        assert_eq!(argument_shape::<Reply<Vec<(u8, u8)>>>(), ArgumentShape::Single);
    }

    #[test]
    fn everything_else_is_one_argument() {
        assert_eq!(argument_shape::<[u8; 2]>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<[(u8, u8); 2]>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<[(u8, u8)]>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<&[(u8, u8)]>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<Vec<(u8, u8)>>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<Option<(u8, u8)>>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<Box<(u8, u8)>>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<str>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<&&str>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<Unit>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<Pair>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<fn((u8, u8)) -> (u8, u8)>(), ArgumentShape::Single);
        assert_eq!(argument_shape::<serde_json::Value>(), ArgumentShape::Single);
    }
}
