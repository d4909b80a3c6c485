//! The content items of a tool result, as far as a decision reads them.

use crate::failure::Signals;

/// One item of a result's `content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentItem<'a> {
    /// Text: the only item whose content a decision may read.
    Text(&'a str),
    /// Text that another reader has read already, and what it found.
    ///
    /// For what this crate leaves to the caller: byte strings, text that is no UTF-8, text beyond
    /// the limits of [`crate::text`].
    Read(Option<Signals>),
    /// An image or audio item; never read.
    Image,
    /// An embedded resource or a link to one; never read.
    Resource,
}

/// What one item says about the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The item reports a failure that is to be retried.
    Failure,
    /// It does not.
    Clear,
    /// Its text is beyond a limit of the reader; it counts as clear unless the caller has another
    /// reader and offers the item again as [`ContentItem::Read`].
    Unread,
}

/// A result's `content`: items that can be walked once, in order.
///
/// The walk is internal so that an item may borrow from something that lives only during its own
/// step (a Python string, say).
pub trait Content {
    /// Offers each item to `examine` until that finds a failure; says whether it did.
    fn any_failure(&mut self, examine: &mut dyn FnMut(ContentItem<'_>) -> Finding) -> bool;
}

impl Content for &[ContentItem<'_>] {
    fn any_failure(&mut self, examine: &mut dyn FnMut(ContentItem<'_>) -> Finding) -> bool {
        self.iter().any(|item| examine(*item) == Finding::Failure)
    }
}
