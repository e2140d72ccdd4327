//! How many of each are inside at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How many of each are inside. Who has nobody inside is not kept.
#[derive(Clone)]
pub struct Crowd {
    /// 0: no limit, and nobody is counted.
    most: u32,
    inside: Arc<Mutex<HashMap<u64, u32>>>,
}

/// As many of somebody are inside as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// One who is inside, until this is dropped.
pub struct OneOfCrowd {
    who: u64,
    inside: Arc<Mutex<HashMap<u64, u32>>>,
}

impl Crowd {
    pub fn new(most: u32) -> Self {
        Self { most, inside: Arc::default() }
    }

    /// One more, unless there are as many as may be. `None`: nobody is counted.
    pub fn enter(&self, who: u64) -> Result<Option<OneOfCrowd>, Full> {
        if self.most == 0 {
            return Ok(None);
        }
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.entry(who).or_default();
        if *count >= self.most {
            return Err(Full);
        }
        *count += 1;
        Ok(Some(OneOfCrowd { who, inside: Arc::clone(&self.inside) }))
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.inside.lock().unwrap().is_empty()
    }
}

impl Drop for OneOfCrowd {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.who);
            }
        }
    }
}
