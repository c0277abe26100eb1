//! Reads the values of a MessagePack message one after another, without their meaning for a packet.

use super::error::MessagePackError;
use super::format::*;

/// A value, or the beginning of a list or a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'m> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// It may be invalid UTF-8.
    Text(&'m [u8]),
    Bytes(&'m [u8]),
    /// Milliseconds since 1970.
    Date(i64),
    Extension(i8, &'m [u8]),
    /// The number of elements that follow.
    Array(u32),
    /// The number of pairs that follow.
    Map(u32),
}

/// The extension type of all values that JavaScript has and MessagePack does not have.
const JAVASCRIPT: i8 = 0;

#[derive(Debug, Clone)]
pub(super) struct Reader<'m> {
    message: &'m [u8],
    position: usize,
}

impl<'m> Reader<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, position: 0 }
    }

    /// Returns an error if bytes are left.
    pub(super) fn finish(&self) -> Result<(), MessagePackError> {
        match self.rest().len() {
            0 => Ok(()),
            count => Err(MessagePackError::TrailingBytes { count }),
        }
    }

    /// Reads the next value. The elements of a list or a map follow as values of their own.
    pub(super) fn token(&mut self) -> Result<Token<'m>, MessagePackError> {
        let [format] = self.array()?;
        Ok(match format {
            value @ POSITIVE_FIXINT..FIXMAP => Token::Unsigned(value.into()),
            value @ NEGATIVE_FIXINT.. => Token::Signed((value as i8).into()),
            NIL => Token::Nil,
            FALSE => Token::Bool(false),
            TRUE => Token::Bool(true),
            UINT_8 => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            UINT_16 => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            UINT_32 => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            UINT_64 => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            INT_8 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            INT_16 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            INT_32 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            INT_64 => Token::Signed(i64::from_be_bytes(self.array()?)),
            FLOAT_32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            FLOAT_64 => Token::Float(f64::from_be_bytes(self.array()?)),
            FIXSTR..NIL => Token::Text(self.bytes((format - FIXSTR).into())?),
            STR_8 => Token::Text(self.bytes8()?),
            STR_16 => Token::Text(self.bytes16()?),
            STR_32 => Token::Text(self.bytes32()?),
            BIN_8 => Token::Bytes(self.bytes8()?),
            BIN_16 => Token::Bytes(self.bytes16()?),
            BIN_32 => Token::Bytes(self.bytes32()?),
            FIXARRAY..FIXSTR => self.list((format - FIXARRAY).into())?,
            ARRAY_16 => {
                let length = u16::from_be_bytes(self.array()?);
                self.list(length.into())?
            }
            ARRAY_32 => {
                let length = u32::from_be_bytes(self.array()?);
                self.list(length)?
            }
            FIXMAP..FIXARRAY => self.map((format - FIXMAP).into())?,
            MAP_16 => {
                let length = u16::from_be_bytes(self.array()?);
                self.map(length.into())?
            }
            MAP_32 => {
                let length = u32::from_be_bytes(self.array()?);
                self.map(length)?
            }
            FIXEXT_1 => match self.extension(1)? {
                (JAVASCRIPT, _) => Token::Undefined,
                (kind, data) => Token::Extension(kind, data),
            },
            FIXEXT_2 => self.extension(2).map(|(kind, data)| Token::Extension(kind, data))?,
            FIXEXT_4 => self.extension(4).map(|(kind, data)| Token::Extension(kind, data))?,
            FIXEXT_8 => match self.extension(8)? {
                (JAVASCRIPT, data) => {
                    let (milliseconds, _) =
                        data.split_first_chunk().ok_or(MessagePackError::UnexpectedEnd)?;
                    Token::Date(i64::from_be_bytes(*milliseconds))
                }
                (kind, data) => Token::Extension(kind, data),
            },
            FIXEXT_16 => self.extension(16).map(|(kind, data)| Token::Extension(kind, data))?,
            EXT_8 => {
                let length = u8::from_be_bytes(self.array()?);
                self.long_extension(length.into())?
            }
            EXT_16 => {
                let length = u16::from_be_bytes(self.array()?);
                self.long_extension(length.into())?
            }
            EXT_32 => {
                let length = u32::from_be_bytes(self.array()?);
                self.long_extension(length)?
            }
            RESERVED => return Err(MessagePackError::ReservedByte { offset: self.position - 1 }),
        })
    }

    /// Skips the next value with everything in it. Needs no memory, however deep it is nested.
    pub(super) fn skip(&mut self) -> Result<(), MessagePackError> {
        let mut values = 1_u64;
        while values > 0 {
            values -= 1;
            values += match self.token()? {
                Token::Array(length) => length.into(),
                Token::Map(length) => 2 * u64::from(length),
                _ => 0,
            };
        }
        Ok(())
    }

    fn rest(&self) -> &'m [u8] {
        &self.message[self.position..]
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessagePackError> {
        let (bytes, _) = self.rest().split_first_chunk().ok_or(MessagePackError::UnexpectedEnd)?;
        self.position += N;
        Ok(*bytes)
    }

    fn bytes(&mut self, length: u32) -> Result<&'m [u8], MessagePackError> {
        let bytes = usize::try_from(length).ok().and_then(|length| self.rest().get(..length));
        let bytes = bytes.ok_or(MessagePackError::UnexpectedEnd)?;
        self.position += bytes.len();
        Ok(bytes)
    }

    fn bytes8(&mut self) -> Result<&'m [u8], MessagePackError> {
        let length = u8::from_be_bytes(self.array()?);
        self.bytes(length.into())
    }

    fn bytes16(&mut self) -> Result<&'m [u8], MessagePackError> {
        let length = u16::from_be_bytes(self.array()?);
        self.bytes(length.into())
    }

    fn bytes32(&mut self) -> Result<&'m [u8], MessagePackError> {
        let length = u32::from_be_bytes(self.array()?);
        self.bytes(length)
    }

    fn list(&self, length: u32) -> Result<Token<'m>, MessagePackError> {
        self.check_elements(length.into())?;
        Ok(Token::Array(length))
    }

    fn map(&self, length: u32) -> Result<Token<'m>, MessagePackError> {
        self.check_elements(2 * u64::from(length))?;
        Ok(Token::Map(length))
    }

    /// Each element has at least one byte.
    fn check_elements(&self, elements: u64) -> Result<(), MessagePackError> {
        if elements > self.rest().len() as u64 { Err(MessagePackError::UnexpectedEnd) } else { Ok(()) }
    }

    fn extension(&mut self, length: u32) -> Result<(i8, &'m [u8]), MessagePackError> {
        let kind = i8::from_be_bytes(self.array()?);
        Ok((kind, self.bytes(length)?))
    }

    fn long_extension(&mut self, length: u32) -> Result<Token<'m>, MessagePackError> {
        Ok(match self.extension(length)? {
            (JAVASCRIPT, data) => Token::Bytes(data),
            (kind, data) => Token::Extension(kind, data),
        })
    }
}
