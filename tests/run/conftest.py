from tests.bench import built, copied, published

__all__ = ["built", "copied", "published"]
