//! The cryptography of encrypted connections.
//!
//! Invariant: it is chosen here, once, before the first client is made, and is ring's. rustls has no default of its
//! own, and a client made without one ends the process, also where it would speak without encryption.

/// Makes sure that encrypted connections can be made; whoever makes a client calls it first.
pub(crate) fn provide() {
    // Refused where this was done before, or by the program around us: then there is one, which is all that is asked.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
