//! How JSON objects with named fields are read: straight into their types, without a tree of values in between.
//!
//! `serde`'s derive is not used for what clients send: it takes arrays for objects too, copies optional strings, and its
//! errors do not name the field.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

/// A type that is read from one JSON value, with errors that a person understands.
pub(crate) trait FromJson<'de>: Sized {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// A type that is read from a JSON object, field by field.
pub(crate) trait Body<'de>: Sized {
    /// What an error says was expected where something else stands.
    const EXPECTED: &'static str;

    fn read<A: MapAccess<'de>>(map: &mut A) -> Result<Self, A::Error>;
}

/// [`FromJson`] as the value of a key or the element of an array.
pub(crate) struct Seed<T>(PhantomData<T>);

/// [`Body`] as the value of a key.
pub(crate) struct BodySeed<B>(PhantomData<B>);

/// A named field while its object is being read.
pub(crate) struct Field<T> {
    name: &'static str,
    value: Option<T>,
}

/// Reads an object; anything else is an error.
pub(crate) fn read_body<'de, B: Body<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<B, D::Error> {
    deserializer.deserialize_map(BodyVisitor(PhantomData))
}

/// The next key of an object, or `None` at its end.
pub(crate) fn next_key<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    map.next_key_seed(Seed::new())
}

/// Passes over the value of a key that nobody here knows.
pub(crate) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// Puts the name of what was being read before an error.
pub(crate) fn in_field<E: Error>(name: &str, error: &E) -> E {
    E::custom(format_args!("{name}: {error}"))
}

impl<T> Field<T> {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    /// Reads the value that stands behind this field's key.
    pub(crate) fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error>
    where
        T: FromJson<'de>,
    {
        let name = self.name;
        if self.value.is_some() {
            return Err(A::Error::custom(format_args!("`{name}` appears twice")));
        }
        self.value = Some(map.next_value_seed(Seed::new()).map_err(|error| in_field(name, &error))?);
        Ok(())
    }

    /// The value of a field that must be there.
    pub(crate) fn required<E: Error>(self) -> Result<T, E> {
        self.value.ok_or_else(|| E::custom(format_args!("`{}` is missing", self.name)))
    }
}

impl<T> Field<Option<T>> {
    /// The value of a field that may be missing or `null`.
    pub(crate) fn optional(self) -> Option<T> {
        self.value.flatten()
    }
}

impl<T> Seed<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: FromJson<'de>> DeserializeSeed<'de> for Seed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::from_json(deserializer)
    }
}

impl<B> BodySeed<B> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, B: Body<'de>> DeserializeSeed<'de> for BodySeed<B> {
    type Value = B;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<B, D::Error> {
        read_body(deserializer)
    }
}

struct BodyVisitor<B>(PhantomData<B>);

impl<'de, B: Body<'de>> Visitor<'de> for BodyVisitor<B> {
    type Value = B;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(B::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<B, A::Error> {
        B::read(&mut map)
    }
}

/// A string, borrowed from the input unless it holds escapes.
impl<'de> FromJson<'de> for Cow<'de, str> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A string whose length in bytes is bounded.
pub(crate) struct Bounded<'de, const MIN: usize, const MAX: usize>(pub(crate) Cow<'de, str>);

impl<'de, const MIN: usize, const MAX: usize> FromJson<'de> for Bounded<'de, MIN, MAX> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::from_json(deserializer)?;
        match text.len() {
            bytes if (MIN..=MAX).contains(&bytes) => Ok(Self(text)),
            bytes => Err(D::Error::custom(format_args!(
                "has {bytes} bytes, which must be between {MIN} and {MAX}"
            ))),
        }
    }
}

impl<'de> FromJson<'de> for u64 {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor { max: Self::MAX })
    }
}

impl<'de> FromJson<'de> for u32 {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(WholeVisitor { max: Self::MAX.into() })?;
        Ok(Self::try_from(number).expect("the visitor was told the largest"))
    }
}

impl<'de> FromJson<'de> for u16 {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_u64(WholeVisitor { max: Self::MAX.into() })?;
        Ok(Self::try_from(number).expect("the visitor was told the largest"))
    }
}

struct WholeVisitor {
    max: u64,
}

impl Visitor<'_> for WholeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {}", self.max)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if number > self.max {
            return Err(E::invalid_value(Unexpected::Unsigned(number), &self));
        }
        Ok(number)
    }
}

impl<'de> FromJson<'de> for bool {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bool(BoolVisitor)
    }
}

struct BoolVisitor;

impl Visitor<'_> for BoolVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }
}

impl<'de, T: FromJson<'de>> FromJson<'de> for Option<T> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(OptionVisitor(PhantomData))
    }
}

struct OptionVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for OptionVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::from_json(deserializer).map(Some)
    }
}

/// An array of at most `MAX` elements.
pub(crate) struct List<T, const MAX: usize>(pub(crate) Vec<T>);

impl<'de, T: FromJson<'de>, const MAX: usize> FromJson<'de> for List<T, MAX> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor::<T, MAX>(PhantomData)).map(Self)
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: FromJson<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed(Seed::new())? {
            if list.len() == MAX {
                return Err(A::Error::custom(format_args!("has more than {MAX} elements")));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// An object whose keys are data, of at most `MAX` entries, in the order they came.
pub(crate) struct Entries<K, V, const MAX: usize>(pub(crate) Vec<(K, V)>);

impl<'de, K: FromJson<'de>, V: FromJson<'de>, const MAX: usize> FromJson<'de> for Entries<K, V, MAX> {
    fn from_json<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor::<K, V, MAX>(PhantomData)).map(Self)
    }
}

struct EntriesVisitor<K, V, const MAX: usize>(PhantomData<(K, V)>);

impl<'de, K: FromJson<'de>, V: FromJson<'de>, const MAX: usize> Visitor<'de> for EntriesVisitor<K, V, MAX> {
    type Value = Vec<(K, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Seed::new())? {
            if entries.len() == MAX {
                return Err(A::Error::custom(format_args!("has more than {MAX} entries")));
            }
            entries.push((key, map.next_value_seed(Seed::new())?));
        }
        Ok(entries)
    }
}
