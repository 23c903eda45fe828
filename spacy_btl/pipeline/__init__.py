"""The component ``btl_knn_ner``, and everything that is done with it."""
