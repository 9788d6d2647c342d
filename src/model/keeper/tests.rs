//! What is known of keepers, told as stories.
