//! The real thing: whole clusters of real processes, driven from outside as customers and operators drive them.

mod demo;
