//! Lifeboat: what still answers when a hosting company's datacentre is gone. The map, in reading order.

pub mod model;

pub mod cluster;

pub mod backup;
pub mod blobs;
pub mod directory;
pub mod errands;
pub mod files;
pub mod letterbox;

pub mod desk;
pub mod dns;
pub mod web;

pub mod cli;

pub mod clock;
pub mod config;
pub mod durable;
pub mod https;
pub mod seal;
pub mod tasks;
pub mod telemetry;
pub mod tls;

pub mod acme;
pub mod mail;
pub mod probe;
pub mod relay;

pub mod proofs;

pub mod demo;
pub mod run;
