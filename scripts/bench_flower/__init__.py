"""The same federated job as `rengo simulate` in Flower's own simulation: plain FedAvg of the factors, unmasked."""
