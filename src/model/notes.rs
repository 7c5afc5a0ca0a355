//! Notes: what a program wants to find again with the model, such as what its numbers mean.

use super::Sequential;
use serde_json::Value;

impl Sequential {
    /// Keeps `value` with the model under `key`; saved and loaded with it, as a part of its
    /// [`config`](Sequential::config). Training and predicting take no notice of it.
    ///
    /// ```
    /// use handgrad::{Sequential, layers::Dense};
    /// let mut model = Sequential::new().with(Dense::new(2));
    /// model.set_note("classes", serde_json::json!(["cat", "dog"]));
    /// let twin = Sequential::from_config(&model.config()?)?;
    /// assert_eq!(twin.note("classes").unwrap()[1], "dog");
    /// # Ok::<(), handgrad::Error>(())
    /// ```
    pub fn set_note(&mut self, key: &str, value: Value) {
        self.notes.insert(key.to_string(), value);
    }

    /// What was kept under `key`.
    pub fn note(&self, key: &str) -> Option<&Value> {
        self.notes.get(key)
    }
}
