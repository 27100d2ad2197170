/** As leaves name a service's question; `sallyport` is no id that a system can have. */
export const questionOperation = "sallyport:decision.read";
