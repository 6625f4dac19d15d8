//! The fetching engine. Taken: being written by the engineer of fetch/.
