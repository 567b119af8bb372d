//! Writes a first `.env`.
