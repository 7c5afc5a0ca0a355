//! Steps of a sequence that lies time-major, `[T, N, U]`: the rows of one step lie together.

use crate::error::Result;
use crate::tensor::{View, ViewMut};

/// Step t of a time-major view: [T, N, U] → [N, U].
pub(crate) fn at(view: View, t: usize) -> Result<View> {
    view.rows(t..t + 1)?.reshape(view.shape().sample())
}

/// Step t, to write.
pub(crate) fn at_mut<'a>(view: &'a mut ViewMut, t: usize) -> Result<ViewMut<'a>> {
    let step = view.shape().sample();
    view.reborrow().rows(t..t + 1)?.reshape(step)
}

/// Steps t − 1 and t > 0 together, to write.
pub(crate) fn pair_mut<'a>(view: &'a mut ViewMut, t: usize) -> Result<(ViewMut<'a>, ViewMut<'a>)> {
    let step = view.shape().sample();
    let (previous, now) = view.reborrow().rows(t - 1..t + 1)?.split(step)?;
    Ok((previous, now.reshape(step)?))
}

/// Step t − 1, to read, if there is one, and step t, to write: a state and its successor.
pub(crate) fn state_mut<'a>(view: &'a mut ViewMut, t: usize) -> Result<(Option<View<'a>>, ViewMut<'a>)> {
    if t == 0 {
        return Ok((None, at_mut(view, 0)?));
    }
    let (previous, now) = pair_mut(view, t)?;
    Ok((Some(previous.into_view()), now))
}

/// Step t − 1, if there is one.
pub(crate) fn before(view: View, t: usize) -> Result<Option<View>> {
    t.checked_sub(1).map(|t| at(view, t)).transpose()
}

/// Whether no gradient flows from step t to the one before: at the start, and at every `truncate`-th step, where the
/// sequence is cut.
pub(crate) fn is_cut(truncate: Option<usize>, t: usize) -> bool {
    t == 0 || truncate.is_some_and(|k| t.is_multiple_of(k))
}
