"""Keras's calls that train, score and predict."""


def fit(trainer, images, labels):
    trainer.model.fit(images, labels, batch_size=trainer.batch_size, shuffle=False, verbose=0)


def evaluate(trainer, images, labels):
    trainer.model.evaluate(images, labels, batch_size=trainer.batch_size, verbose=0)


def predict(trainer, images, labels):
    trainer.model.predict(images, batch_size=trainer.batch_size, verbose=0)


CALLS = {"fit": fit, "evaluate": evaluate, "predict": predict}
