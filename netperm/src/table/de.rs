//! A serde deserializer over the lines of a table.
//!
//! A program's view of the table is a map from attribute to the lines that speak of it, in the order of the
//! file. What a field asks for decides what it gets: a sequence gets every line, anything else the first
//! line alone; of that, [`Words`] get all arguments, [`Located`](crate::place::Located) gets the place too,
//! and everything else the only argument.

use std::fmt;
use std::str::FromStr;

use serde::de::value::{SeqDeserializer, StrDeserializer, U32Deserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::Entry;
use crate::place::LOCATED;

/// What is wrong with the value of an attribute.
#[derive(Debug)]
pub(crate) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

/// One program's lines.
pub(crate) struct View<'a>(Vec<(&'a str, Lines<'a>)>);

impl<'a> View<'a> {
    pub(crate) fn new(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut view: Vec<(&str, Lines<'_>)> = Vec::new();
        for entry in entries {
            match view.iter_mut().find(|(attribute, _)| *attribute == entry.attribute) {
                Some((_, lines)) => lines.rest.push(entry),
                None => view.push((&entry.attribute, Lines { first: entry, rest: Vec::new() })),
            }
        }
        Self(view)
    }
}

impl<'de> Deserializer<'de> for View<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Attributes { left: self.0.into_iter(), value: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Attributes<'a> {
    left: std::vec::IntoIter<(&'a str, Lines<'a>)>,
    value: Option<Lines<'a>>,
}

impl<'de> MapAccess<'de> for Attributes<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((attribute, lines)) = self.left.next() else { return Ok(None) };
        self.value = Some(lines);
        seed.deserialize(StrDeserializer::new(attribute)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let lines = self.value.take().ok_or_else(|| de::Error::custom("a value without its attribute"))?;
        seed.deserialize(lines)
    }
}

/// The lines of one attribute, at least one.
pub(crate) struct Lines<'a> {
    first: &'a Entry,
    rest: Vec<&'a Entry>,
}

impl<'de> Deserializer<'de> for Lines<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.first.words.as_slice() {
            [] => Err(Error("an argument is missing".to_owned())),
            [word] => visitor.visit_str(word),
            words => Err(Error(format!("takes one argument, but {} are given", words.len()))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let lines = std::iter::once(self.first).chain(self.rest);
        visitor.visit_seq(SeqDeserializer::new(lines))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != WORDS {
            return visitor.visit_newtype_struct(self);
        }
        let words = self.first.effect.iter().map(|effect| effect.word());
        visitor.visit_seq(SeqDeserializer::new(words.chain(self.first.words.iter().map(String::as_str))))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == LOCATED {
            visitor.visit_seq(Placed { entry: self.first, next: Part::File })
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple map struct enum identifier
    }
}

impl<'de, 'a> IntoDeserializer<'de, Error> for &'a Entry {
    type Deserializer = Lines<'a>;

    fn into_deserializer(self) -> Lines<'a> {
        Lines { first: self, rest: Vec::new() }
    }
}

/// A line as the three parts of a [`Located`](crate::place::Located).
struct Placed<'a> {
    entry: &'a Entry,
    next: Part,
}

enum Part {
    File,
    Line,
    Value,
    End,
}

impl<'de> SeqAccess<'de> for Placed<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let place = &self.entry.place;
        match self.next {
            Part::File => {
                self.next = Part::Line;
                seed.deserialize(StrDeserializer::new(&place.file().to_string_lossy())).map(Some)
            }
            Part::Line => {
                self.next = Part::Value;
                seed.deserialize(U32Deserializer::new(place.line_number().unwrap_or_default())).map(Some)
            }
            Part::Value => {
                self.next = Part::End;
                seed.deserialize(self.entry.into_deserializer()).map(Some)
            }
            Part::End => Ok(None),
        }
    }
}

/// The newtype name by which [`Words`] ask for all arguments of a line.
const WORDS: &str = "$netperm::Words";

/// All arguments of a line, for the attributes that take the rest of it.
pub(crate) struct Words(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Gather;

        impl<'de> Visitor<'de> for Gather {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the arguments of a line")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_newtype_struct(WORDS, Gather)
    }
}

/// A field that is one word; the word is named when it is wrong.
pub(crate) fn word<'de, D, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let word = String::deserialize(deserializer)?;
    parse(&word).map_err(de::Error::custom)
}

/// Reads a word with [`FromStr`] and names it when it is wrong.
pub(crate) fn parsed<T>(word: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    word.parse().map_err(|fault| format!("\"{word}\": {fault}"))
}

/// The attributes that a struct of the schema knows: serde tells them to whoever deserializes it.
pub(crate) fn attributes_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(AskFields) {
        Err(Fields(fields)) => fields,
        Ok(_) => &[],
    }
}

struct AskFields;

#[derive(Debug)]
struct Fields(&'static [&'static str]);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are the fields")
    }
}

impl std::error::Error for Fields {}

impl de::Error for Fields {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for AskFields {
    type Error = Fields;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
