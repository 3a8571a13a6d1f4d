//! The macros that write each configuration key down once: documentation, type, default and range.

use super::outline::Outline;
use super::printer::Printer;
use super::reader::Reader;

/// A group of keys; implemented by [`config_section!`](crate::config_section).
pub trait Section: Sized {
    /// The names of all keys, in the order they are documented.
    const KEYS: &'static [&'static str];

    /// Adds every key to the outline.
    fn describe(outline: &mut Outline);

    /// Takes every key; faults are left with the reader.
    fn read(reader: &mut Reader<'_>) -> Self;

    /// Prints every key.
    fn print(&self, printer: &mut Printer<'_>);
}

/// Defines a section of the configuration: the struct, and all that is derived from it.
///
/// Each field is `name: Type = what it is;` where the right-hand side is one of [`value`], [`required`],
/// [`computed`], [`bytes`], [`section`], [`tables`] and [`named`]. The doc comments are the text of the reference page.
///
/// ```
/// use std::time::Duration;
/// use tidegate_service::config::{section, value};
///
/// tidegate_service::config_section! {
///     /// How patient the server is.
///     pub struct Patience {
///         /// How long a request may take.
///         pub timeout: Duration = value(Duration::from_secs(10)).within(Duration::ZERO..=Duration::from_secs(60));
///     }
/// }
///
/// tidegate_service::config_section! {
///     /// Everything.
///     pub struct Config {
///         /// How patient the server is.
///         pub patience: Patience = section();
///     }
/// }
/// # fn main() {}
/// ```
///
/// [`value`]: crate::config::value
/// [`required`]: crate::config::required
/// [`computed`]: crate::config::computed
/// [`bytes`]: crate::config::bytes
/// [`section`]: crate::config::section
/// [`tables`]: crate::config::tables
/// [`named`]: crate::config::named
#[macro_export]
macro_rules! config_section {
    (
        $(#[doc = $about:literal])+
        pub struct $section:ident {
            $( $(#[doc = $doc:literal])+ pub $key:ident : $type:ty = $field:expr; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl $crate::config::Section for $section {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];

            fn describe(outline: &mut $crate::config::Outline) {
                $( $crate::config::Field::<$type>::describe(
                    $field, stringify!($key), concat!($($doc, "\n"),+), outline,
                ); )+
            }

            fn read(reader: &mut $crate::config::Reader<'_>) -> Self {
                Self { $( $key: $crate::config::Field::<$type>::read($field, stringify!($key), reader), )+ }
            }

            fn print(&self, printer: &mut $crate::config::Printer<'_>) {
                $( $crate::config::Field::<$type>::print($field, stringify!($key), &self.$key, printer); )+
            }
        }
    };
}

/// Defines a type with a fixed set of named values, for use in [`config_section!`](crate::config_section).
///
/// The first one is the type's `Default`.
#[macro_export]
macro_rules! config_choice {
    (
        $(#[doc = $about:literal])+
        pub enum $choice:ident {
            $(#[doc = $first_doc:literal])+ $first:ident = $first_name:literal,
            $( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq, PartialOrd)]
        pub enum $choice {
            $(#[doc = $first_doc])+
            #[default]
            $first,
            $( $(#[doc = $doc])+ $variant, )*
        }

        impl $crate::config::Choice for $choice {
            const ALL: &'static [(Self, &'static str)] =
                &[(Self::$first, $first_name), $( (Self::$variant, $name), )*];

            fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    $( Self::$variant => $name, )*
                }
            }
        }

        impl $crate::config::Leaf for $choice {
            fn kind() -> String {
                $crate::config::choice::kind::<Self>()
            }

            fn parse(node: &$crate::config::Node) -> Result<Self, Vec<$crate::config::Mismatch>> {
                $crate::config::choice::parse(node)
            }

            fn show(&self) -> $crate::config::Shown {
                $crate::config::choice::show(*self)
            }

            fn schema() -> $crate::config::JsonValue {
                $crate::config::choice::schema::<Self>()
            }
        }
    };
}
