//! Which language a person wants.

use crate::error::Error;
use std::str::FromStr;

/// A language in which [mistakes](super::Mistake) are explained.
///
/// ```
/// use handgrad::Language;
/// assert_eq!("ko".parse::<Language>()?, Language::Korean);
/// assert_eq!(Language::from_locale("ko_KR.UTF-8"), Some(Language::Korean));
/// assert_eq!(Language::from_locale("C"), None);
/// # Ok::<(), handgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// 한국어.
    Korean,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 2] = [Language::English, Language::Korean];

    /// The code of ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Korean => "ko",
        }
    }

    /// The language of a POSIX locale such as `ko_KR.UTF-8`; `None` if it names none of ours.
    pub fn from_locale(locale: &str) -> Option<Language> {
        let code = locale.split(['_', '.', '@', '-']).next().unwrap_or_default();
        Language::ALL.into_iter().find(|language| code.eq_ignore_ascii_case(language.code()))
    }
}

impl FromStr for Language {
    type Err = Error;

    fn from_str(code: &str) -> Result<Language, Error> {
        let known = Language::ALL.map(Language::code);
        let found = Language::ALL.into_iter().find(|language| language.code() == code);
        found.ok_or_else(|| Error::unknown("language", code, &known))
    }
}
