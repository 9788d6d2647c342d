//! The directory, from a file that a company exports to a question on the day.
