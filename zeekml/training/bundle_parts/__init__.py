"""Parts of a bundle besides its members: model card, reference set, and what joins them."""
