    dl::image::jpeg_img_t jpeg = {};
    jpeg.data = const_cast<uint8_t *>(picture_start);
    jpeg.data_len = static_cast<size_t>(picture_end - picture_start);
    dl::image::img_t picture = dl::image::sw_decode_jpeg(jpeg, dl::image::DL_IMAGE_PIX_TYPE_RGB888);

    dl::image::ImagePreprocessor preprocessor(model, {@mean}, {@std});
    preprocessor.preprocess(picture);
    model->run();

    dl::TensorBase *output = model->get_output();
    dl::TensorBase scores(output->get_shape(), nullptr, 0, dl::DATA_TYPE_FLOAT);
    scores.assign(output);
    int best = 0;
    for (int i = 1; i < scores.get_size(); i++) {
        if (scores.get_element<float>(i) > scores.get_element<float>(best)) {
            best = i;
        }
    }
    ESP_LOGI(TAG, "class %d, score %f", best, scores.get_element<float>(best));
    heap_caps_free(picture.data);
