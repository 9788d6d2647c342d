//! How stored and received bytes become values. A length among them is believed only as far as bytes follow it.
//!
//! Postcard hands a collection's claimed length on as a hint, and imbl's collections ask the system for that much
//! memory at once: eight bytes of a lying snapshot would end the process. Here nobody sees the hint.

use std::fmt;

use postcard::ser_flavors::Flavor;
use serde::{
    Serialize,
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
        VariantAccess, Visitor,
    },
};
use sha2::{Digest, Sha256};

/// Reads a value that takes all the bytes.
///
/// # Errors
/// When they are not the value's, or more follow it.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    match read_front(bytes)? {
        (value, []) => Ok(value),
        (_, _) => Err(postcard::Error::DeserializeBadEncoding),
    }
}

/// Reads a value, and returns with it the bytes that follow.
///
/// # Errors
/// When the bytes do not begin with such a value.
pub fn read_front<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), postcard::Error> {
    let mut deserializer = postcard::Deserializer::from_bytes(bytes);
    let value = T::deserialize(Unhinted(&mut deserializer))?;
    Ok((value, deserializer.finalize()?))
}

/// SHA-256 over what a value is stored as, without the bytes being in memory at once.
///
/// # Errors
/// When the value cannot be encoded, which only a faulty `Serialize` can cause.
pub fn digest<T: Serialize>(value: &T) -> Result<[u8; 32], postcard::Error> {
    postcard::serialize_with_flavor(value, Hashing(Sha256::new()))
}

/// Where encoded bytes go that are only hashed.
struct Hashing(Sha256);

impl Flavor for Hashing {
    type Output = [u8; 32];

    fn try_push(&mut self, byte: u8) -> Result<(), postcard::Error> {
        self.0.update([byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        self.0.update(bytes);
        Ok(())
    }

    fn finalize(self) -> Result<[u8; 32], postcard::Error> {
        Ok(self.0.finalize().into())
    }
}

/// Anything of serde's, with everything inside it wrapped likewise and nothing said about sizes.
struct Unhinted<T>(T);

/// Methods that go on to the inner deserializer, with the visitor wrapped.
macro_rules! deserialize {
    ($($method:ident($($name:ident: $kind:ty),*)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Unhinted(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Unhinted<D> {
    type Error = D::Error;

    deserialize! {
        deserialize_any(), deserialize_bool(),
        deserialize_i8(), deserialize_i16(), deserialize_i32(), deserialize_i64(), deserialize_i128(),
        deserialize_u8(), deserialize_u16(), deserialize_u32(), deserialize_u64(), deserialize_u128(),
        deserialize_f32(), deserialize_f64(), deserialize_char(), deserialize_str(), deserialize_string(),
        deserialize_bytes(), deserialize_byte_buf(), deserialize_option(), deserialize_unit(),
        deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str),
        deserialize_seq(), deserialize_tuple(length: usize),
        deserialize_tuple_struct(name: &'static str, length: usize),
        deserialize_map(),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
        deserialize_identifier(), deserialize_ignored_any(),
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Methods that hand a finished value on as it is. What is stored has no fractions.
macro_rules! visit {
    ($($method:ident($kind:ty)),* $(,)?) => {
        $(fn $method<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Unhinted<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    visit! {
        visit_bool(bool), visit_i8(i8), visit_i16(i16), visit_i32(i32), visit_i64(i64), visit_i128(i128),
        visit_u8(u8), visit_u16(u16), visit_u32(u32), visit_u64(u64), visit_u128(u128),
        visit_char(char),
        visit_str(&str), visit_borrowed_str(&'de str), visit_string(String),
        visit_bytes(&[u8]), visit_borrowed_bytes(&'de [u8]), visit_byte_buf(Vec<u8>),
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Unhinted(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Unhinted(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Unhinted(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Unhinted(access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Unhinted(access))
    }
}

// `size_hint` is left as serde has it: nothing is known.
impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Unhinted<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Unhinted(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Unhinted<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Unhinted(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Unhinted(seed))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Unhinted<A> {
    type Error = A::Error;
    type Variant = Unhinted<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Unhinted(seed))?;
        Ok((value, Unhinted(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Unhinted<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Unhinted(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Unhinted(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Unhinted(visitor))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Unhinted<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Unhinted(inner))
    }
}

#[cfg(test)]
mod tests {
    use imbl::{OrdMap, OrdSet, Vector};

    use super::*;

    /// A length of 2^60 and nothing behind it.
    const LYING: [u8; 9] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

    #[test]
    fn p10_a_length_without_bytes_behind_it_is_an_error_and_takes_no_memory() {
        assert!(read::<OrdMap<u64, [u64; 4]>>(&LYING).is_err());
        assert!(read::<OrdSet<u64>>(&LYING).is_err());
        assert!(read::<Vector<u64>>(&LYING).is_err());
        assert!(read::<Vec<u64>>(&LYING).is_err());
        assert!(read::<Option<Vec<OrdMap<u64, String>>>>(&[&[1, 1][..], &LYING].concat()).is_err());
    }

    #[test]
    fn what_was_written_is_read_and_what_follows_is_returned() {
        type Everything = (
            OrdMap<String, Vec<Option<i16>>>,
            Result<u8, (char, String)>,
            bool,
        );
        let value: Everything = (
            OrdMap::from_iter([("a".to_owned(), vec![Some(-3), None])]),
            Err(('é', "why".to_owned())),
            true,
        );
        let mut bytes = postcard::to_stdvec(&value).unwrap();
        assert_eq!(read::<Everything>(&bytes).unwrap(), value);
        assert_eq!(digest(&value).unwrap()[..], Sha256::digest(&bytes)[..]);
        bytes.push(7);
        assert_eq!(read_front::<Everything>(&bytes).unwrap(), (value, &[7][..]));
        assert!(read::<Everything>(&bytes).is_err());
    }
}
