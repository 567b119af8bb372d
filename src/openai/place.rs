//! Where in a body something stands, and what is odd there.

use std::collections::BTreeMap;

use crate::engine::error::ChatError;

/// What is odd in a value and inside it. It has the value's own form and holds only what is odd, so that it takes no more
/// memory than the value does.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// A text with half a surrogate, which is no character; or an object with such a name.
    pub(super) half: bool,
    /// Its name stands twice in the object around it: nobody can know which value is meant.
    pub(super) twice: bool,
    inside: Option<Box<Inside>>,
}

/// Sorted.
#[derive(Debug)]
enum Inside {
    Members(Box<[(String, Marks)]>),
    Items(Box<[(usize, Marks)]>),
}

impl Marks {
    /// Whether anything is odd.
    pub(super) fn is_odd(&self) -> bool {
        self.half || self.twice || self.inside.is_some()
    }

    /// Takes in what is odd in an object's members.
    pub(super) fn set_members(&mut self, odd: BTreeMap<String, Marks>) {
        self.inside = (!odd.is_empty()).then(|| Box::new(Inside::Members(odd.into_iter().collect())));
    }

    /// Takes in what is odd in an array's items, which come in their order.
    pub(super) fn set_items(&mut self, odd: Vec<(usize, Marks)>) {
        self.inside = (!odd.is_empty()).then(|| Box::new(Inside::Items(odd.into())));
    }

    fn member(&self, name: &str) -> Option<&Self> {
        match self.inside.as_deref()? {
            Inside::Members(odd) => {
                let index = odd.binary_search_by(|(other, _)| other.as_str().cmp(name));
                odd.get(index.ok()?).map(|(_, marks)| marks)
            }
            Inside::Items(_) => None,
        }
    }

    fn item(&self, index: usize) -> Option<&Self> {
        match self.inside.as_deref()? {
            Inside::Items(odd) => {
                let index = odd.binary_search_by_key(&index, |(index, _)| *index);
                odd.get(index.ok()?).map(|(_, marks)| marks)
            }
            Inside::Members(_) => None,
        }
    }
}

/// A place: its path as it is told, and what is odd there. The marks are followed by whole names, since a path is short
/// and says of several places the same.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    path: String,
    marks: Option<&'a Marks>,
}

impl<'a> Place<'a> {
    /// A whole body.
    pub(super) fn body(marks: &'a Marks) -> Self {
        Self {
            path: String::new(),
            marks: Some(marks),
        }
    }

    /// The same place, in which nothing is odd.
    pub(super) fn whole(&self) -> Place<'static> {
        Place {
            path: self.path.clone(),
            marks: None,
        }
    }

    /// The place of what stands under a name.
    pub(super) fn member(&self, name: &str) -> Self {
        Self {
            path: child(&self.path, name),
            marks: self.marks.and_then(|marks| marks.member(name)),
        }
    }

    /// The place of an item.
    pub(super) fn item(&self, index: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            marks: self.marks.and_then(|marks| marks.item(index)),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the text here is whole.
    ///
    /// # Errors
    /// `invalid_request` with the place.
    pub(super) fn check_text(&self) -> Result<(), ChatError> {
        let Self { path, marks } = self;
        if !marks.is_some_and(|marks| marks.half) {
            return Ok(());
        }
        let message = format!(
            "Invalid '{path}': the string holds half a surrogate pair (an escape from \\ud800 to \\udfff without its \
             other half), which is no character."
        );
        Err(ChatError::invalid(path, message))
    }

    /// Whether what stands here stands here once.
    ///
    /// # Errors
    /// `invalid_request` with the place.
    pub(super) fn check_once(&self) -> Result<(), ChatError> {
        let Self { path, marks } = self;
        if !marks.is_some_and(|marks| marks.twice) {
            return Ok(());
        }
        let message = format!("Duplicate parameter: '{path}' was given more than once.");
        Err(ChatError::invalid(path, message))
    }
}

/// The path of what stands under a name, of which no more is told than anybody reads.
pub(super) fn child(path: &str, name: &str) -> String {
    const SHOWN: usize = 64;
    let shown = name
        .char_indices()
        .nth(SHOWN)
        .map_or(name, |(end, _)| &name[..end]);
    if path.is_empty() {
        shown.to_owned()
    } else {
        format!("{path}.{shown}")
    }
}
