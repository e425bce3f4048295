//! The front door: every write of an object, whoever asks for it.

use std::sync::Arc;

use bulkhead_store::{CommitError, Key, Store, Stored, Write};
use serde_json::Value;

/// Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn Store>,
}

impl Objects {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Reads an object, changes its `status` and writes it back, again if somebody came between.
    /// `None` when the object is gone; nothing is written when `change` leaves the status alone.
    pub async fn update_status(
        &self,
        key: &Key,
        change: impl Fn(&mut Value) + Send,
    ) -> Result<Option<Arc<Stored>>, CommitError> {
        loop {
            let Some(stored) = self.store.get(key) else { return Ok(None) };
            let mut value = stored.value.clone();
            let mut status = value
                .get("status")
                .cloned()
                .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            change(&mut status);
            if value.get("status") == Some(&status) {
                return Ok(Some(stored));
            }
            if let Some(object) = value.as_object_mut() {
                object.insert("status".to_owned(), status);
            }
            match self
                .store
                .commit(Write::replace(key.clone(), stored.revision, value).into())
                .await
            {
                Ok(done) => return Ok(done.objects.into_iter().next().flatten()),
                Err(CommitError::Moved { .. } | CommitError::Absent { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
