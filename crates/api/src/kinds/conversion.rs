//! What a group and version must answer in which a kind is served although it is stored in another one: its [`Conversion`].
//!
//! Only what differs is asked here. Defaults, columns, deletion and all else are the kind's own [`Strategy`]'s, which sees
//! stored objects only, whichever version they were sent in.
//!
//! [`Strategy`]: super::strategy::Strategy

use prost::Message;

use crate::validate::Causes;

/// All that is peculiar to one such version. As with a strategy, every method is required, and a conversion is a value, so that
/// the versions of a kind which users define can answer from that kind's definition.
pub(crate) trait Conversion {
    /// The type in which objects are stored.
    type Stored;

    /// The type of this version's objects.
    type Object: Message + Default;

    /// A stored object as this version shows it.
    fn serve(&self, stored: &Self::Stored) -> Self::Object;

    /// An object of this version as it is stored. Shown again, it is what it was.
    fn store(&self, served: Self::Object) -> Self::Stored;

    /// The fields at the top that are called otherwise than in the stored form: the name there, and the name here.
    fn renamed(&self) -> &'static [(&'static str, &'static str)];

    /// The paths, in this version, of the fields by which objects can be selected, beside those that every kind has. Each is one
    /// of the strategy's under another name.
    fn fields(&self) -> Vec<&'static str>;

    /// Judges a new object that was sent in this version, after all that the strategy finds wrong. Paths are those of the stored
    /// form; whoever tells them renames them.
    fn validate_create(&self, causes: &mut Causes, new: &Self::Stored);

    /// As [`Conversion::validate_create`], for an object that replaces another.
    fn validate_update(&self, causes: &mut Causes, old: &Self::Stored, new: &Self::Stored);

    /// The manifest of a small, typical object in this version.
    fn sample(&self) -> &'static str;
}
