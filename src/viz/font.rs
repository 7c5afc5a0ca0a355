//! The font that ships: Latin, Greek, Cyrillic, kana and Hangul, so that a picture needs nothing of the machine it is
//! made on. See `font/README.md`.

use resvg::usvg::fontdb::{Database, Source};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};
use std::sync::{Arc, OnceLock};

const BYTES: &[u8] = include_bytes!("font/Pretendard-Regular.otf");

/// What an SVG asks for: the font that ships, if the reader has it, then what systems have for both scripts.
pub(super) const FAMILIES: &str =
    "Pretendard, 'Noto Sans KR', 'Noto Sans CJK KR', 'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif";

fn face() -> Option<&'static FontRef<'static>> {
    static FACE: OnceLock<Option<FontRef>> = OnceLock::new();
    FACE.get_or_init(|| FontRef::new(BYTES).ok()).as_ref()
}

/// How wide `text` is at `size` pixels. What the font does not have counts as a square.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let Some(face) = face() else { return size * text.chars().count() as f64 };
    let (map, metrics) = (face.charmap(), face.glyph_metrics(Size::new(1000.0), LocationRef::default()));
    let advance = |c: char| match c {
        // Vowels and finals of a syllable in parts, as macOS writes file names: they join the initial before them.
        '\u{1160}'..='\u{11ff}' => 0.0,
        _ => map.map(c).and_then(|glyph| metrics.advance_width(glyph)).unwrap_or(1000.0),
    };
    text.chars().map(advance).sum::<f32>() as f64 * size / 1000.0
}

/// Whether the font can show `c`.
pub(super) fn covers(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}') || face().is_some_and(|face| face.charmap().map(c).is_some())
}

/// The fonts to draw with: the one that ships, and all of the system's where `foreign` characters need them.
/// Or the first of those that no font has.
pub(super) fn database(foreign: &[char]) -> Result<Arc<Database>, char> {
    static OWN: OnceLock<Arc<Database>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let mut fonts = Database::new();
        fonts.load_font_source(Source::Binary(Arc::new(BYTES)));
        fonts.set_sans_serif_family("Pretendard");
        Arc::new(fonts)
    });
    if foreign.is_empty() {
        return Ok(own.clone());
    }
    let mut fonts = Database::clone(own);
    fonts.load_system_fonts();
    let ids: Vec<_> = fonts.faces().map(|face| face.id).collect();
    let has = |c: char| {
        ids.iter().any(|&id| {
            let found = fonts.with_face_data(id, |data, index| {
                FontRef::from_index(data, index).is_ok_and(|face| face.charmap().map(c).is_some())
            });
            found == Some(true)
        })
    };
    match foreign.iter().find(|c| c.is_alphanumeric() && !has(**c)) {
        Some(&missing) => Err(missing),
        None => Ok(Arc::new(fonts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a model in two scripts, in the font's own measures: no system font is asked.
    #[test]
    fn text_is_measured_with_the_font_that_ships() {
        assert!("패션 MNIST 모델 éñüß αβγ Ж ひ ≤ → … −".chars().all(covers));
        assert!(('가'..='힣').all(covers) && (' '..='~').all(covers));
        assert!(!covers('学'));
        let (narrow, wide, hangul) = (width("iiii", 10.0), width("MMMM", 10.0), width("모델모델", 10.0));
        assert!(narrow * 2.0 < wide && (30.0..40.0).contains(&hangul), "{narrow} {wide} {hangul}");
        assert_eq!(width("", 10.0), 0.0);
        assert_eq!(width("\u{1106}\u{1169}", 10.0), 10.0, "모 in two parts is one square");
        assert!((width("MNIST", 20.0) - 2.0 * width("MNIST", 10.0)).abs() < 1e-4);
    }
}
