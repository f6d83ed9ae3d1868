//! What one key of the map is, said in a few lines: the specification that clients rely on.

use stateright::semantics::SequentialSpec;
use std::fmt;

/// A value of the key.
pub type Value = char;

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ask {
    Get,
    Put(Value),
    /// From the old value to the new.
    Cas(Value, Value),
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Get => write!(f, "get"),
            Ask::Put(value) => write!(f, "put({value})"),
            Ask::Cas(old, new) => write!(f, "cas({old},{new})"),
        }
    }
}

/// What it gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Got {
    Put,
    Swapped(Value),
    /// The value is, or was, another.
    Value(Value),
    Nothing,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Register(Option<Value>);

impl SequentialSpec for Register {
    type Op = Ask;
    type Ret = Got;

    fn invoke(&mut self, ask: &Ask) -> Got {
        match (*ask, self.0) {
            (Ask::Put(value), _) => {
                self.0 = Some(value);
                Got::Put
            }
            (Ask::Cas(old, new), Some(value)) if value == old => {
                self.0 = Some(new);
                Got::Swapped(new)
            }
            (Ask::Get | Ask::Cas(..), Some(value)) => Got::Value(value),
            (Ask::Get | Ask::Cas(..), None) => Got::Nothing,
        }
    }
}
