//! Keepers against servers that behave as providers do.
