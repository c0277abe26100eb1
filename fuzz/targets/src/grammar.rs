//! The grammars of HTTP header fields, by splitting rather than scanning.

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let is_delimiter = |byte: &u8| b"\"(),/:;<=>?@[\\]{}".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() && !is_delimiter(byte))
}

/// Removes the optional whitespace around a value (RFC 9110 §5.6.3).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Sixteen bytes in base64. The unused bits may be set.
pub(crate) fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

/// RFC 9110 §7.2: a name or an address in brackets, and a port, which may be empty.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let is_name = |text: &str| {
        let excluded = "\"#/:<>?@[\\]^`{|}";
        !text.is_empty()
            && text.chars().all(|character| character.is_ascii_graphic() && !excluded.contains(character))
    };
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            (address.replace(':', "."), port)
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            (host[..end].to_owned(), &host[end..])
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    is_name(&name)
        && (port.is_empty() || port.starts_with(':'))
        && digits.chars().all(|digit| digit.is_ascii_digit())
}

/// An extension's name and its parameters. The values have no quotes.
pub(crate) type Extension = (String, Vec<(String, Option<String>)>);

/// RFC 6455 §9.1. Returns `None` if the value is not a list of extensions. The list may be empty. Quoted values may not contain a comma, a
/// semicolon or an equals sign either, so each of these is a separator.
pub(crate) fn extensions(value: &[u8]) -> Option<Vec<Extension>> {
    split(value, b',').into_iter().filter(|extension| !extension.is_empty()).map(extension).collect()
}

fn extension(text: &[u8]) -> Option<Extension> {
    let parts = split(text, b';');
    let parameter = |text: &&[u8]| match text.iter().position(|&byte| byte == b'=') {
        None => Some((token(text)?, None)),
        Some(at) => Some((token(trim(&text[..at]))?, Some(extension_value(trim(&text[at + 1..]))?))),
    };
    Some((token(parts[0])?, parts[1..].iter().map(parameter).collect::<Option<_>>()?))
}

fn extension_value(value: &[u8]) -> Option<String> {
    let [b'"', quoted @ .., b'"'] = value else { return token(value) };
    let mut unquoted = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        unquoted.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
    }
    token(&unquoted)
}

fn token(text: &[u8]) -> Option<String> {
    is_token(text).then(|| String::from_utf8_lossy(text).into_owned())
}

fn split(value: &[u8], separator: u8) -> Vec<&[u8]> {
    value.split(|&byte| byte == separator).map(trim).collect()
}
