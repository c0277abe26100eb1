//! When a Rust value is the whole list of arguments, and when it is one of them.

use std::any::type_name;

/// What a type stands for in `emit(event, value)` and `Data<T>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `()`: no arguments.
    Nothing,
    /// A tuple: the list of arguments.
    List,
    /// Anything else, arrays and structs too: one argument.
    Value,
}

/// How the name of [`Arguments`](crate::Arguments) begins.
const ARGUMENTS: &str = concat!(env!("CARGO_CRATE_NAME"), "::arguments::Arguments");

/// The rule, decided by how the type is written: tuples are lists of arguments, `()` is the empty list, references are
/// what they refer to, and everything else is one argument.
///
/// serde describes `(A, B)` and `[A; 2]` alike, and stable Rust cannot specialise on tuples; but the name of a tuple
/// type begins with `(` and no other's does. The call becomes a constant when it is compiled with optimisation.
pub(crate) fn shape<T: ?Sized>() -> Shape {
    let mut name = type_name::<T>();
    while let Some(target) = name.strip_prefix('&') {
        name = target.strip_prefix("mut ").unwrap_or(target);
    }
    match name.as_bytes() {
        b"()" => Shape::Nothing,
        [b'(', ..] => Shape::List,
        // Arguments that are sent on are the list that they were.
        _ if name.starts_with(ARGUMENTS) => Shape::List,
        _ => Shape::Value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Unit;
    #[expect(dead_code, reason = "only its type is looked at")]
    struct Pair(u8, u8);

    #[test]
    fn a_tuple_is_the_list_of_arguments() {
        assert_eq!(shape::<(u8,)>(), Shape::List);
        assert_eq!(shape::<(String, Vec<(u8, u8)>)>(), Shape::List);
        assert_eq!(shape::<((), ())>(), Shape::List);
        assert_eq!(shape::<&(u8, u8)>(), Shape::List);
        assert_eq!(shape::<&mut (u8, u8)>(), Shape::List);
        assert_eq!(shape::<&&mut &(u8, u8)>(), Shape::List);
    }

    #[test]
    fn the_unit_is_no_arguments() {
        assert_eq!(shape::<()>(), Shape::Nothing);
        assert_eq!(shape::<&()>(), Shape::Nothing);
        assert_eq!(shape::<&mut ()>(), Shape::Nothing);
    }

    #[test]
    fn everything_else_is_one_argument() {
        assert_eq!(shape::<[u8; 2]>(), Shape::Value);
        assert_eq!(shape::<[(u8, u8); 2]>(), Shape::Value);
        assert_eq!(shape::<[(u8, u8)]>(), Shape::Value);
        assert_eq!(shape::<&[(u8, u8)]>(), Shape::Value);
        assert_eq!(shape::<Vec<(u8, u8)>>(), Shape::Value);
        assert_eq!(shape::<Option<(u8, u8)>>(), Shape::Value);
        assert_eq!(shape::<Box<(u8, u8)>>(), Shape::Value);
        assert_eq!(shape::<str>(), Shape::Value);
        assert_eq!(shape::<&&str>(), Shape::Value);
        assert_eq!(shape::<Unit>(), Shape::Value);
        assert_eq!(shape::<Pair>(), Shape::Value);
        assert_eq!(shape::<fn((u8, u8)) -> (u8, u8)>(), Shape::Value);
        assert_eq!(shape::<serde_json::Value>(), Shape::Value);
    }
}
