//! The provider of cryptography for TLS.

use rustls::crypto::{CryptoProvider, ring};

/// Installs `ring` as the provider of this process, unless the application chose one. The client
/// takes the provider of the process, and panics if there is none.
pub(crate) fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have installed one since.
        let _ = ring::default_provider().install_default();
    }
}
