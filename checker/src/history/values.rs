//! What the numbers of values stand for.

use super::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// All values of a history. Equal values have equal numbers.
#[derive(Clone, Debug)]
pub struct Values {
    numbers: HashMap<Arc<[u8]>, Value>,
    /// By number; the first is that of the missing value.
    bytes: Vec<Arc<[u8]>>,
}

impl Values {
    /// None but the missing one.
    pub fn new() -> Values {
        Values { numbers: HashMap::new(), bytes: vec![Arc::from(&b""[..])] }
    }

    /// The number of a value, new if it has none.
    pub fn intern(&mut self, bytes: &[u8]) -> Value {
        if let Some(value) = self.numbers.get(bytes) {
            return *value;
        }
        let value = Value(u32::try_from(self.bytes.len()).expect("fewer than 2^32 values"));
        let bytes: Arc<[u8]> = bytes.into();
        self.bytes.push(bytes.clone());
        self.numbers.insert(bytes, value);
        value
    }

    /// What a value stands for; `None` if it is missing. Panics on a number never given.
    pub fn bytes(&self, value: Value) -> Option<&[u8]> {
        let bytes = &self.bytes[value.0 as usize];
        (value != Value::MISSING).then_some(&**bytes)
    }
}

impl Default for Values {
    fn default() -> Values {
        Values::new()
    }
}
