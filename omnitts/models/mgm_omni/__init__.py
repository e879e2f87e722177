"""MGM-Omni (arXiv 2509.25131): the mouth that speaks text in a cloned voice, and the brain that answers."""
