//! The directory over the API.
